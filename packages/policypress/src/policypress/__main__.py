"""``python -m policypress``."""

from policypress_runtime.toolchain.child_python import leave_current_folder


def _run() -> None:
    leave_current_folder()
    from policypress.cli.app import main  # only now: nothing of the current folder is imported with it

    main()


_run()
