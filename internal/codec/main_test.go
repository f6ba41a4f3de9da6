package codec

import (
	"os"
	"testing"

	"github.com/bsrpc/bsrpc/internal/rounds"
)

func TestMain(m *testing.M) {
	rounds.LetGarbageWait()
	os.Exit(m.Run())
}
