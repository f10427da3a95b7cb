"""Packages of the distribution; all else is in pyproject.toml, where a search for packages excludes a mapping."""

from setuptools import find_packages, setup

# One package, because other distributions may have a module that is named conftest, fixtures or benchmarks.
SUITE = ["geofm_eval_suite", "geofm_eval_suite.benchmarks", "geofm_eval_suite.fixtures"]

setup(
    packages=[*find_packages(include=["geofm_eval*"]), *SUITE],
    package_dir={"geofm_eval_suite": "."},
    script_name="setup.py",  # or this file, which is in the folder of a package, would be installed
)
