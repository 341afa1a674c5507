"""How charts become figures: looks of what is compared, panels as SVG, figures for a page and for files. No torch."""
