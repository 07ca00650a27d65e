# An operator wants a new generation now; when the CA refuses, the wish stands until it is met.
cert example.com
nodes a b c
start all
run 1m
renew example.com
run 1m
expect generation 2
expect verified all
ca fails
renew example.com
run 30s
expect generation 2
expect failures 1
ca works
run 2m
expect generation 4
expect issued 3
expect verified all
