# Every target but clean first makes the environment in .venv/, and makes it again only when
# pyproject.toml or constraints.txt have changed. To be rid of it, remove .venv/ by hand.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help book test lab starter clean

help:
	@echo "make book    build the book into _build/html/"
	@echo "make test    check the style and the types, then run all tests"
	@echo "make lab     open the pages as notebooks in JupyterLab"
	@echo "make starter write notebooks for building the network yourself into starter/"
	@echo "make clean   remove _build/, with the built book; .venv/ stays"

book: .venv/installed
	$(BIN)/python book/build.py

test: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pytest

# The settings in book/_lab make a double click on a page open it as a notebook.
lab: .venv/installed
	JUPYTER_CONFIG_PATH="$(CURDIR)/book/_lab" $(BIN)/jupyter lab --LabApp.default_url=/lab/tree/book

starter: .venv/installed
	$(BIN)/python book/starter.py

clean:
	rm -rf _build

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(sys.version_info < (3, 11) and \
		f"Python 3.11 or newer is needed, and $(PYTHON) is {v}; try make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[book,test,video]"
	@touch $@
