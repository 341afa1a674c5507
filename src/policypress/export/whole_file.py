"""Whole files, under the name by which the floors above know them; the code is on the lowest floor."""

from policypress.whole_file import PARTIAL, write_whole

__all__ = ["PARTIAL", "write_whole"]
