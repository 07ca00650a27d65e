# Records that nobody who is there ever took for good, and that nobody puts right, are as good as none after a while: the only one who wrote them was removed.
cert example.com
nodes a b
start b
run 1m
crash b
remove b unvouched
start a
run 5m
expect issued 1
run 10m
expect verified a
expect generation 2
expect issued 2
expect safe yes
