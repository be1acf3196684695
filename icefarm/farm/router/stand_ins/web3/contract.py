"""Stands in for web3.contract; see the package around it."""

#: The name of a type.
Contract = object
