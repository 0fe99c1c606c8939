# Aliases for those whose fingers know make; `./dev` says what there is.
.PHONY: help demo test all lint docs bench lock
help:
	@./dev
demo test lint docs bench lock:
	@./dev $@
all:
	@./dev test --all
