# All logic is in scripts/project.py, which make.cmd calls too.
PYTHON ?= python3

.PHONY: setup demo test quick docs

setup demo test quick docs:
	@$(PYTHON) scripts/project.py $@
