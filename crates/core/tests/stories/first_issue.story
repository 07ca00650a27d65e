# Three nodes start together: one order, one certificate, all serve it.
cert example.com names=example.com,www.example.com
nodes a b c
start all
run 1m
expect issued 1
expect orders 1
expect generation 1
expect verified all
