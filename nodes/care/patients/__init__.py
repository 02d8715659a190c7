"""Who the patients of this facility are: names, sex, birth, and the numbers that identify them.

A patient is found by a name, by the national identification number (NIN), or by a record number of some
authority, which is this facility's own unless it says otherwise (PID-3). Nobody is removed or merged here.
"""
