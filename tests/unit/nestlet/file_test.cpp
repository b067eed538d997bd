#include "unit/nestlet/support.hpp"

namespace nestgate::nestlet::testing {
namespace {

TEST(Files, UploadMakesParentsAndReplacesTheFileAtOnce) {
  RunningServer const server;
  auto const target = server.path("a/b c/f+1.bin");
  auto const url = "/api/file/upload?path=" + server.path() + "%2Fa%2Fb+c%2Ff%2B1.bin";
  std::string const data = std::string("one\0two\r\n--X", 12);
  EXPECT_EQ(server.call("POST", url, multipart(data), multipart_fields()).body, R"({"success":true,"file_size":12})");
  EXPECT_EQ(read_file(target), data);
  EXPECT_EQ(server.call("POST", url, multipart("new"), multipart_fields()).status, 200u);
  EXPECT_EQ(read_file(target), "new");
}

TEST(Files, AFailedUploadLeavesNothingBehind) {
  RunningServer const server;
  auto const url = "/api/file/upload?path=" + server.path("f");
  auto const status = [&](std::string const& to, std::string const& body) {
    return server.call("POST", to, body, multipart_fields()).status;
  };
  EXPECT_EQ(status("/api/file/upload?path=relative", multipart("x")), 400u);
  EXPECT_EQ(status("/api/file/upload", multipart("x")), 422u);
  EXPECT_EQ(status(url, "--XX--\r\n"), 422u);
  EXPECT_EQ(status(url, "--XX\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nhalf"), 400u);
  EXPECT_EQ(status(url + "/", multipart("x")), 400u);
  EXPECT_EQ(server.call("POST", url, "{}").status, 422u) << "not multipart at all";
  Client broken(server.port());
  broken.send("POST " + url +
              " HTTP/1.1\r\nhost: n\r\nx-session-api-key: k1\r\ncontent-type: multipart/form-data; boundary=XX\r\n"
              "transfer-encoding: chunked\r\n\r\n5\r\n--XX\r\nnot a chunk size\r\n");
  EXPECT_EQ(broken.receive().status, 400u);
  EXPECT_TRUE(std::filesystem::is_empty(server.path()));
}

TEST(Files, AnUploadThroughALinkWritesWhatTheLinkLeadsTo) {
  RunningServer const server;
  std::filesystem::create_directories(server.path("far"));
  write_file(server.path("far/target"), "old");
  std::filesystem::create_symlink("far/target", server.path("link"));
  std::filesystem::create_symlink(server.path("far/new"), server.path("dangling"));
  std::filesystem::create_symlink("loop", server.path("loop"));
  auto const upload = [&](std::string const& url) {
    return server.call("POST", url, multipart("new", "link"), multipart_fields()).status;
  };
  EXPECT_EQ(upload("/api/file/upload?path=" + server.path("link")), 200u);
  EXPECT_EQ(upload("/api/file/upload?path=" + server.path("dangling")), 200u);
  EXPECT_TRUE(std::filesystem::is_symlink(server.path("link")) && std::filesystem::is_symlink(server.path("dangling")));
  EXPECT_EQ(read_file(server.path("far/target")), "new");
  EXPECT_EQ(read_file(server.path("far/new")), "new");
  EXPECT_EQ(upload("/api/file/upload?path=" + server.path("loop")), 400u);
  write_file(server.path("far/target"), "old");
  EXPECT_EQ(upload("/upload_file?destination=" + server.path()), 200u) << "by its own name, `link`";
  EXPECT_EQ(read_file(server.path("far/target")), "new");
}

TEST(Files, AnUploadBelowAFileIsTheClientsFault) {
  RunningServer const server;
  write_file(server.path("f"), "");
  for (auto const* path : {"f/x", "f/x/y"}) {
    auto const url = "/api/file/upload?path=" + server.path(path);
    EXPECT_EQ(server.call("POST", url, multipart("x"), multipart_fields()).status, 400u) << path;
  }
}

TEST(Files, DownloadGivesTheWholeFileOrAPieceOfIt) {
  RunningServer const server;
  write_file(server.path("f"), "0123456789");
  auto const get = [&](Fields fields) {
    fields.emplace_back("X-Session-API-Key", "k1");
    return server.call("GET", "/api/file/download?path=" + server.path("f"), "", fields);
  };
  auto const whole = get({});
  EXPECT_EQ(whole.status, 200u);
  EXPECT_EQ(whole.body, "0123456789");
  EXPECT_EQ(whole.fields[http::field::content_disposition], "attachment; filename=\"f\"");
  auto const piece = get({{"Range", "bytes=2-4"}});
  EXPECT_EQ(piece.status, 206u);
  EXPECT_EQ(piece.body, "234");
  EXPECT_EQ(piece.fields[http::field::content_range], "bytes 2-4/10");
  auto const past = get({{"Range", "bytes=10-"}});
  EXPECT_EQ(past.status, 416u);
  EXPECT_EQ(past.fields[http::field::content_range], "bytes */10");
  std::string const etag(whole.fields[http::field::etag]);
  EXPECT_EQ(get({{"Range", "bytes=2-4"}, {"If-Range", etag}}).status, 206u);
  EXPECT_EQ(get({{"Range", "bytes=2-4"}, {"If-Range", "\"other\""}}).status, 200u);
}

TEST(Files, DownloadTellsWhatIsWrong) {
  RunningServer const server;
  auto const get = [&](std::string const& path) { return server.call("GET", "/api/file/download?path=" + path); };
  EXPECT_EQ(get("relative").body, R"({"detail":"Path must be absolute"})");
  EXPECT_EQ(get(server.path("none")).body, R"({"detail":"File not found"})");
  EXPECT_EQ(get(server.path()).body, R"({"detail":"Path is not a file"})");
  EXPECT_EQ(server.call("GET", "/api/file/download").status, 422u);
}

TEST(Files, AnEmptyFileGoesBothWays) {
  RunningServer const server;
  auto const path = server.path("empty");
  EXPECT_EQ(server.call("POST", "/api/file/upload?path=" + path, multipart(""), multipart_fields()).status, 200u);
  auto const reply = server.call("GET", "/api/file/download?path=" + path);
  EXPECT_EQ(reply.status, 200u);
  EXPECT_EQ(reply.body, "");
}

TEST(Files, DirectoriesAreMadeOnceAndListedInPages) {
  RunningServer const server;
  for (auto const* name : {"b", "A", ".hidden", "c"}) {
    EXPECT_EQ(server.call("POST", "/api/file/create_directory?path=" + server.path(name)).status, 200u);
  }
  EXPECT_EQ(server.call("POST", "/api/file/create_directory?path=" + server.path("b")).status, 200u);
  write_file(server.path("file"), "");
  EXPECT_EQ(server.call("POST", "/api/file/create_directory?path=" + server.path("file")).status, 400u);
  std::filesystem::create_symlink(server.path("b"), server.path("link"));
  auto const list = [&](std::string const& more) {
    return server.call("GET", "/api/file/search_subdirs?path=" + server.path() + more).json();
  };
  auto const page = list("&limit=2");
  EXPECT_EQ(page.at("items").at(0).at("name"), "A");
  EXPECT_EQ(text(page.at("items").at(1).at("path")), server.path("b"));
  EXPECT_EQ(page.at("next_page_id"), "c");
  auto const rest = list("&limit=2&page_id=c");
  EXPECT_EQ(rest.at("items").as_array().size(), 1u);
  EXPECT_TRUE(rest.at("next_page_id").is_null());
  for (auto const* yes : {"true", "True", "1", "yes", "on"}) {
    EXPECT_EQ(list("&include_hidden=" + std::string(yes)).at("items").as_array().size(), 4u) << yes;
  }
  EXPECT_EQ(list("&include_hidden=off").at("items").as_array().size(), 3u);
  auto const unclear = server.call("GET", "/api/file/search_subdirs?path=" + server.path() + "&include_hidden=2");
  EXPECT_EQ(unclear.status, 422u);
  EXPECT_EQ(server.call("GET", "/api/file/search_subdirs?path=" + server.path("none")).status, 404u);
  EXPECT_TRUE(server.call("GET", "/api/file/home").json().at("home").as_string().starts_with('/'));
}

}  // namespace
}  // namespace nestgate::nestlet::testing
