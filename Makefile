# All logic is in scripts/project.py, which make.cmd calls too.
PYTHON ?= python3

.PHONY: setup demo test quick oldest docs lock

setup demo test quick oldest docs lock:
	@$(PYTHON) scripts/project.py $@
