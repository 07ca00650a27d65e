# The backup was taken in the middle of an attempt that has long become a generation: it must not give a second certificate.
cert example.com
nodes a b c
start all
run 220ms
store save
run 10h
expect generation 1
store restore
run 10m
expect verified all
