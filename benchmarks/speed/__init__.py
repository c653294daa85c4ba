"""What `benchmarks/run` is made of: cells of a table, each measured in a process of its own.

`cells` lists them, `main` runs them and writes the table by `table`, and `child` is what runs in
the process of a cell: `ours` and `theirs` are the two programs, `measure` the clock. Samples of all
programs are of `shapes`, random numbers.
"""
