// What kstatus makes of objects. Reads a stream of JSON objects, and prints a JSON list with the status and the message
// of each. The library is the one by which Helm and Flux wait, in the version that Helm has.
package main

import (
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func main() {
	computed := []map[string]string{}
	for objects := json.NewDecoder(os.Stdin); ; {
		var object unstructured.Unstructured
		err := objects.Decode(&object)
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			log.Fatal(err)
		}
		result, err := status.Compute(&object)
		if err != nil {
			log.Fatal(err)
		}
		computed = append(computed, map[string]string{"status": result.Status.String(), "message": result.Message})
	}
	if err := json.NewEncoder(os.Stdout).Encode(computed); err != nil {
		log.Fatal(err)
	}
}
