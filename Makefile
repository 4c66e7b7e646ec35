# What this book can be asked for. `make` alone prints the list.

# The Python that .venv is made with: yours (make book PYTHON=python3.12), else the one
# that .venv has already, else the first on this machine that the book is tested with.
PYTHON ?= $(shell for python in .venv/bin/python python3 python3.13 python3.12 python3.11; do \
	"$$python" -I -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	2>/dev/null && echo "$$python" && exit; done; echo python3)

# Only what .venv holds is imported, whatever else this machine has.
unexport PYTHONHOME PYTHONPATH PYTHONSAFEPATH PYTHONSTARTUP PYTHONOPTIMIZE PYTHONWARNINGS
export PYTHONNOUSERSITE := 1

.PHONY: help venv book pdf serve notebooks test colab clean distclean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

venv: ## install the tested versions of everything into .venv
	@command -v "$(PYTHON)" >/dev/null || { echo "There is no $(PYTHON) here: install Python" \
	"3.11, 3.12 or 3.13, or say where it is: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@"$(PYTHON)" -m tools.bootstrap

book: venv ## run every chapter and build the book into _build/html
	@.venv/bin/python -m tools.build_book

pdf: book ## print the whole book into one PDF, with page numbers and solutions at the end
	@.venv/bin/python -m tools.pdf

serve: book ## build the book and serve it on this machine
	@.venv/bin/python -m tools.serve

notebooks: venv ## put each chapter's notebook for Colab beside it, with the address and version of now
	@.venv/bin/python -m tools.stamp
	@.venv/bin/python -m tools.build_book
	@cp _build/notebooks/*.ipynb chapters/

test: book ## build the book, then test it and the library (PYTEST_ARGS="-k scaling")
	@.venv/bin/python -m tools.browser
	@OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n auto --maxprocesses 4 $(PYTEST_ARGS)

colab: venv ## run every notebook and lab with the packages that Colab has
	@.venv/bin/python -m tools.colab
	@OMP_NUM_THREADS=1 .venv/bin/python -m pytest tests/colab $(PYTEST_ARGS)

clean: ## remove the built book and every cache
	rm -rf _build .pytest_cache .hypothesis .ruff_cache
	find . -path './.venv*' -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove .venv and .venv-colab as well
	rm -rf .venv .venv-colab *.egg-info
