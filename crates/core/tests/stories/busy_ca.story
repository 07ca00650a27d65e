# 429 with Retry-After: the attempt is put off by exactly that, with no holder; nobody asks meanwhile.
cert example.com
nodes a b c
start all
run 150ms
ca busy 120s
run 100s
expect holder nobody
ca works
run 1m
expect issued 1
expect failures 0
expect verified all
