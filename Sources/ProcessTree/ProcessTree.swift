// ProcessTree
