# Whoever can write the store changes the request, the names or the order of a running attempt: no certificate comes of it but the right one.
cert example.com
nodes a b c
start all
run 300ms
forge certs/example.com unsigned attempt.csr=AAAA
run 5s
forge certs/example.com unsigned attempt.names.0=evil.example
forge certs/example.com unsigned spec.names.0=evil.example
run 5s
forge certs/example.com unsigned attempt.order=ca/order/9
run 1m
expect names example.com
expect verified a,b,c
expect issued 1
expect safe yes
