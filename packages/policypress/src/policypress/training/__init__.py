"""The old name of ``policypress_train``: zips that were written before it have their classes from here.

``policypress.training.qat.policies`` and the other modules that zips name *are* those of ``policypress_train``, so that
a class is the same by either name.

Raises:
    MissingDependencyError: ``policypress-train`` is not installed.
"""

from __future__ import annotations

import sys

from policypress.training_package import training_services

for _name, _module in training_services().modules_in_zips().items():
    sys.modules[f"{__name__}.{_name}"] = _module
