# A renewal keeps the key until somebody asks for a new one; the node that has it makes the request, an issue node that has it not gets the certificate.
cert example.com reuse nodes=w*
nodes a=issue b=issue w1=deploy w2=deploy
start all
run 1m
note key
renew example.com
run 1m
expect generation 2
expect key same
run 70d
expect generation 3
expect key same
renew example.com new-key
run 1m
expect generation 4
expect key other
note key
renew example.com
run 1m
expect generation 5
expect key same
expect opens a no
expect safe yes
