# The holder cannot reach the store any more; another finishes; the first one hears of it later.
cert example.com
nodes a b c
start all
crash after write validating
run 100ms
cut c from store
run 30s
expect issued 1
mend c
run 30s
expect issued 1
expect orders 1
expect verified all
