"""What is compared: each module is a program of its own, run as `python FILE WAREHOUSE API`, in its own environment.

Every one delivers the same contacts: those with consent, a usable address and usable fields, one for each address.
"""
