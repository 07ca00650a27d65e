# `account rotate` in the middle of an attempt: the CA validates with one key or the other, never with neither.
cert example.com
nodes a b c
start all
run 1m
renew example.com
run 250ms
rotate account
run 1m
expect generation 2
expect failures 0
expect account thumbprint-6
expect safe yes
