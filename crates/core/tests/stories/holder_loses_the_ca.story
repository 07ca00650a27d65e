# The holder loses the CA in the middle of an order: it lets go and another finishes it.
cert example.com
nodes a b c
start all
run 400ms
cut holder from ca
run 30s
expect issued 1
expect orders 1
expect failures 0
expect verified all
