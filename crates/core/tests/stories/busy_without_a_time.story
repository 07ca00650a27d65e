# 503 with no Retry-After: longer and longer, an hour at most.
cert example.com
nodes a b
start all
run 150ms
ca busy
run 12h
ca works
run 61m
expect issued 1
expect orders 1
