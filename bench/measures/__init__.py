"""The measures: each runs one experiment on one server and gives the values of one or more rows.

To add rows: write a class with the four members of `measure.Measure` and list it in `bench/catalogue.py`.
"""
