"""Figures and tables from grids of cells: one file a family, each a function from a filled grid to what is drawn."""
