# The node whose turn it is cannot reach the CA: it bars itself, the next goes on, no shared backoff is raised.
cert example.com
nodes a b c
start all
cut b from ca
run 1m
expect issued 1
expect failures 0
expect verified all
mend b
run 61d
expect generation 2
expect verified all
