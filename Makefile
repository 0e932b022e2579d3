# All logic is in scripts/project.py, which make.cmd calls too.
PYTHON ?= python3

.PHONY: setup demo test quick

setup demo test quick:
	@$(PYTHON) scripts/project.py $@
