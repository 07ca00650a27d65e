# SIGTERM: the holder hands its attempt back and says goodbye; the next goes on at once.
cert example.com
nodes a b c
start all
run 300ms
stop holder
run 10s
expect issued 1
expect orders 1
expect verified all
