# All logic is in scripts/project.py, which make.cmd calls too.
PYTHON ?= python3

.PHONY: setup demo test quick lint coverage oldest docs lock release-check

setup demo test quick lint coverage oldest docs lock release-check:
	@$(PYTHON) scripts/project.py $@
