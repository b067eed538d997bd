// Session keys: what each request with a key pays, beside the bare hash of the same bytes.
#include <benchmark/benchmark.h>
#include <openssl/sha.h>

#include <array>
#include <string>

#include "nestgate/base/secret.hpp"
#include "nestgate/identity/session_key.hpp"

namespace {

using nestgate::Secret;
using nestgate::identity::Derivation;

std::string const secret_text(48, 's');
std::string const id = "0123456789abcdef0123456789abcdef";

void BareSha256OfTheSameBytes(benchmark::State& state) {
  auto const message = secret_text + ":" + id;
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  for (auto _ : state) {
    SHA256(reinterpret_cast<unsigned char const*>(message.data()), message.size(), digest.data());
    benchmark::DoNotOptimize(digest);
  }
}
BENCHMARK(BareSha256OfTheSameBytes);

void DeriveSessionKey(benchmark::State& state, Derivation derivation) {
  Secret const secret(secret_text);
  for (auto _ : state) {
    auto const key = nestgate::identity::derive_session_key(derivation, secret, id);
    benchmark::DoNotOptimize(key.size());
  }
}
BENCHMARK_CAPTURE(DeriveSessionKey, sha256, Derivation::sha256);
BENCHMARK_CAPTURE(DeriveSessionKey, hmac_sha256, Derivation::hmac_sha256);

void CompareSessionKeyInConstantTime(benchmark::State& state) {
  auto const key = nestgate::identity::derive_session_key(Derivation::sha256, Secret(secret_text), id);
  std::string const presented(key.reveal());
  for (auto _ : state) benchmark::DoNotOptimize(key.equals(presented));
}
BENCHMARK(CompareSessionKeyInConstantTime);

}  // namespace
