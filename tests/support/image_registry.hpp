#pragma once

// A registry that holds one image and asks for a password, for an engine on this machine.

#include <openssl/evp.h>

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/docker_engine.hpp"
#include "support/loopback.hpp"
#include "support/temp_folder.hpp"

namespace nestgate::test {

class ImageRegistry {
 public:
  // One layer for each folder; `credentials` are base64 of "user:password".
  ImageRegistry(std::vector<std::filesystem::path> const& layers, std::string credentials)
      : credentials_(std::move(credentials)) {
    std::string listed, digests;
    for (auto const& layer : layers) {
      auto const [digest, size] = add_layer(layer);
      listed += (listed.empty() ? "" : ",") + about("application/vnd.docker.image.rootfs.diff.tar.gzip", digest, size);
      digests += (digests.empty() ? "\"" : ",\"") + digest + "\"";
    }
    std::string const config =
        R"({"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[)" + digests + "]}}";
    auto const config_digest = add(config);
    manifest_ = R"({"schemaVersion":2,"mediaType":")" + std::string(manifest_type) + R"(","config":)" +
                about("application/vnd.docker.container.image.v1+json", config_digest, config.size()) + R"(,"layers":[)" +
                listed + "]}";
  }

  std::string image() const { return "127.0.0.1:" + std::to_string(server_.port()) + "/nested:1"; }

 private:
  static constexpr std::string_view manifest_type = "application/vnd.docker.distribution.manifest.v2+json";

  static std::string digest_of(std::string_view bytes) {
    unsigned char digest[32];
    EVP_Digest(bytes.data(), bytes.size(), digest, nullptr, EVP_sha256(), nullptr);
    std::string out = "sha256:";
    for (auto const byte : digest) {
      out += "0123456789abcdef"[byte >> 4];
      out += "0123456789abcdef"[byte & 15];
    }
    return out;
  }
  static std::string about(std::string_view type, std::string const& digest, std::size_t size) {
    return R"({"mediaType":")" + std::string(type) + R"(","size":)" + std::to_string(size) + R"(,"digest":")" + digest +
           "\"}";
  }
  std::string add(std::string bytes) {
    auto digest = digest_of(bytes);
    blobs_.emplace(digest, std::move(bytes));
    return digest;
  }
  std::pair<std::string, std::size_t> add_layer(std::filesystem::path const& layer) {
    TempFolder const folder;
    auto const tarball = folder.path() / "layer.tar";
    if (run_program({"tar", "-C", layer.string(), "-cf", tarball.string(), "."}) != 0) throw std::runtime_error("tar");
    auto bytes = read_file(tarball);
    auto const size = bytes.size();
    return {add(std::move(bytes)), size};
  }

  void serve(Connection& connection) const {
    for (;;) {
      auto const first = connection.read_exactly(1);
      if (first == "\x16") return;  // TLS, which the engine tries first
      auto const head = first + connection.read_until("\r\n\r\n");
      if (!head.ends_with("\r\n\r\n")) return;
      auto const start = head.find(' ') + 1;
      auto const target = head.substr(start, head.find(' ', start) - start);
      bool const is_known = field_value(head, "authorization") == "Basic " + credentials_;
      auto const blob = blobs_.find(target.substr(target.rfind('/') + 1));
      std::string fields, body;
      std::string status = "200 OK";
      if (!is_known) {
        status = "401 Unauthorized";
        fields = "WWW-Authenticate: Basic realm=\"tests\"\r\n";
      } else if (target.starts_with("/v2/nested/manifests/")) {
        fields =
            "Content-Type: " + std::string(manifest_type) + "\r\nDocker-Content-Digest: " + digest_of(manifest_) + "\r\n";
        body = manifest_;
      } else if (blob != blobs_.end()) {
        body = blob->second;
      } else if (target != "/v2/") {
        status = "404 Not Found";
        body = R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]})";
      }
      connection.send("HTTP/1.1 " + status + "\r\n" + fields + "Content-Length: " + std::to_string(body.size()) +
                      "\r\n\r\n");
      if (!head.starts_with("HEAD ")) connection.send(body);
    }
  }

  std::string credentials_;
  std::string manifest_;
  std::map<std::string, std::string> blobs_;
  Server server_{[this](Connection& connection) { serve(connection); }};
};

}  // namespace nestgate::test
