# The store's file system is not mounted: everybody says so, serves what it has and orders nothing. Then it is back.
cert example.com
nodes a b c
start all
run 1m
store save
store wipe
run 61d
expect issued 1
store restore
run 1m
expect issued 2
expect verified all
