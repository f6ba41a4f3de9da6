package stress

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/bsrpc/bsrpc"
)

// The service of the server processes, in three versions: oldContract, newContract with one
// more field, and otherContract with another type in one method.

// versions register the service in each version.
var versions = []func(*bsrpc.Server) error{
	func(s *bsrpc.Server) error { return bsrpc.RegisterAs[oldContract](s, "Hour", oldService{}) },
	func(s *bsrpc.Server) error { return bsrpc.RegisterAs[newContract](s, "Hour", newService{}) },
	func(s *bsrpc.Server) error { return bsrpc.RegisterAs[otherContract](s, "Hour", otherService{}) },
}

const (
	oldVersion = iota
	newVersion
	otherVersion // differs from both in Change
)

var errSold = errors.New("sold out")

// processErrors are the errors known at both ends.
var processErrors = map[string]error{"hour.sold": errSold}

// Common is the methods without a difference.
type Common struct {
	Spend  func(ctx context.Context, token string, millis int32) (string, error)
	Look   func(ctx context.Context, token string) (string, error) `bsrpc:"idempotent"`
	Later  func(ctx context.Context, token string) *bsrpc.Future[string]
	Note   func(ctx context.Context, token string) error `bsrpc:"oneway"`
	Refuse func(ctx context.Context, token string) error
	Count  func(ctx context.Context, token string, n int32) iter.Seq2[int32, error]
	Sum    func(ctx context.Context, token string, in iter.Seq[int32]) (int64, error)
	Ask    func(ctx context.Context, token string, question func(string) (string, error)) (string, error)
	Login  func(ctx context.Context, name string) error
	Who    func(ctx context.Context, token string) (string, error)
}

type oldItem struct {
	Name  string
	Count int32
}

type newItem struct {
	Note  string `bsrpc:"optional"`
	Name  string
	Count int32
}

type oldContract struct {
	Common
	Order  func(ctx context.Context, token string, item oldItem) (oldItem, error)
	Change func(ctx context.Context, token string, n int32) (int32, error)
}

type newContract struct {
	Common
	Order  func(ctx context.Context, token string, item newItem) (newItem, error)
	Change func(ctx context.Context, token string, n int32) (int32, error)
}

type otherContract struct {
	Common
	Order  func(ctx context.Context, token string, item newItem) (newItem, error)
	Change func(ctx context.Context, token string, n string) (string, error)
}

// spend notes a token.
func spend(token string) {
	if token != "" {
		say("token %s", token)
	}
}

// commonService implements Common.
type commonService struct{}

func (commonService) Spend(token string, millis int32) string {
	spend(token)
	if millis > 0 {
		time.Sleep(time.Duration(millis) * time.Millisecond)
	}
	return token
}
func (commonService) Look(token string) string           { spend(token); return token }
func (commonService) Later(token string) (string, error) { spend(token); return token, nil }
func (commonService) Note(token string)                  { spend(token) }
func (commonService) Refuse(token string) error {
	spend(token)
	return fmt.Errorf("%s: %w", token, errSold)
}
func (commonService) Count(token string, n int32) iter.Seq2[int32, error] {
	return func(yield func(int32, error) bool) {
		spend(token)
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
	}
}
func (commonService) Sum(token string, in iter.Seq2[int32, error]) (sum int64, err error) {
	spend(token)
	for n, err := range in {
		if err != nil {
			return 0, err
		}
		sum += int64(n)
	}
	return sum, nil
}
func (commonService) Ask(token string, question func(string) (string, error)) (string, error) {
	spend(token)
	return question(token)
}

// loginKey is the key of the name of a session.
type loginKey struct{}

func (commonService) Login(ctx context.Context, name string) {
	v := bsrpc.SessionFrom(ctx)
	v.Set(loginKey{}, name)
}
func (commonService) Who(ctx context.Context, token string) string {
	spend(token)
	v := bsrpc.SessionFrom(ctx)
	name, _ := v.Value(loginKey{}).(string)
	return name
}

type oldService struct{ commonService }

func (oldService) Order(token string, item oldItem) oldItem { spend(token); return item }
func (oldService) Change(token string, n int32) int32       { spend(token); return n }

type newService struct{ commonService }

func (newService) Order(token string, item newItem) newItem { spend(token); return item }
func (newService) Change(token string, n int32) int32       { spend(token); return n }

type otherService struct{ commonService }

func (otherService) Order(token string, item newItem) newItem { spend(token); return item }
func (otherService) Change(token string, n string) string     { spend(token); return n }
