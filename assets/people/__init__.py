"""Single people: who leaves, who is kept out, who is to be forgotten, and what we hold about one."""
