"""One measured quantity per file, and the statistics made from them."""
