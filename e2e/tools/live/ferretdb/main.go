// FerretDB, MongoDB's protocol on a PostgreSQL, with its metrics. Its own program refuses to start unless it was built from its
// repository, and its package for other programs keeps the metrics to itself.
package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"reflect"
	"unsafe"

	"github.com/FerretDB/FerretDB/ferretdb"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func main() {
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:      ferretdb.ListenerConfig{TCP: ":27017"},
		Handler:       "postgresql",
		PostgreSQLURL: os.Args[1],
	})
	if err != nil {
		log.Fatal(err)
	}
	listener := reflect.ValueOf(server).Elem().FieldByName("l")
	listener = reflect.NewAt(listener.Type(), unsafe.Pointer(listener.UnsafeAddr())).Elem()
	prometheus.MustRegister(listener.Interface().(prometheus.Collector))
	// The path of its own program.
	http.Handle("/debug/metrics", promhttp.Handler())
	go func() { log.Fatal(http.ListenAndServe(":8088", nil)) }()
	log.Fatal(server.Run(context.Background()))
}
