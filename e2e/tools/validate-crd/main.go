// What Kubernetes' API server reports about a CustomResourceDefinition. Reads its YAML and prints the errors as a JSON list. The
// library is that of the oldest supported version.
package main

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"os"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

func main() {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	var read v1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(text, &read); err != nil {
		log.Fatal(err)
	}
	scheme := runtime.NewScheme()
	install.Install(scheme)
	scheme.Default(&read)
	var crd apiextensions.CustomResourceDefinition
	if err := scheme.Convert(&read, &crd, nil); err != nil {
		log.Fatal(err)
	}
	problems := []string{}
	for _, problem := range validation.ValidateCustomResourceDefinition(context.Background(), &crd) {
		problems = append(problems, problem.Error())
	}
	if err := json.NewEncoder(os.Stdout).Encode(problems); err != nil {
		log.Fatal(err)
	}
}
