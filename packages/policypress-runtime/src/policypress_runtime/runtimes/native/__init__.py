"""Acting by generated C, built as an extension module of Python and kept in a cache."""
