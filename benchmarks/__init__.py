"""How fast, how heavy: the whole path side by side with others, on this machine.  `make bench`

`people` makes the table, `null_server` answers at once, `contestants/` send the same contacts by different means,
`measured` counts their seconds and bytes, `report` writes docs/performance.md. Ratios are what counts: machines differ.
"""
