# A backup is restored in which an older generation is placed; who has the newer one keeps that, and never opens the older one's key, which is the same. It asks with it when the time has come.
cert example.com reuse
nodes a
start all
run 1m
note key
store save
renew example.com
run 1m
expect generation 2
stop a
run 1m
store restore epoch
start a
run 1m
expect generation 1
run 70d
expect key same
expect verified a
expect safe yes
