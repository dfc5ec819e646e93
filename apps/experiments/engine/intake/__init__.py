"""Reading files of other people into rows: what a file holds, what is wrong with it, and the version made from it."""
