"""``python -m policypress``."""

from policypress.cli.app import main

main()
