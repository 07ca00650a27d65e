# Last week's backup comes back: nobody goes back to the older placement, no number is used again, the next generation is above all.
cert example.com
nodes a b c
start all
run 1m
store save
run 7d
renew example.com
run 1m
expect generation 2
store restore
run 5m
expect serves a 2
renew example.com
run 1m
expect generation 3
expect verified all
expect issued 3
