.venv-setup:
