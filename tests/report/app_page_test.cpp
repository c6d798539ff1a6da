#include "mien/report/app_page.h"

#include "core/temporary_folder.h"
#include <gtest/gtest.h>

#include "mien/core/files.h"

namespace mien::report {
namespace {

TEST(AppPage, HoldsTheFilesOfWebDistByteForByte) {
  const std::filesystem::path dist = std::filesystem::path(MIEN_SOURCE_DIR) / "web" / "dist";
  EXPECT_TRUE(app_files().script == read_text(dist / "app.js"));
  EXPECT_TRUE(app_files().style == read_text(dist / "style.css"));
  EXPECT_EQ(app_files().script_hash.size(), std::string_view("sha256-").size() + 44);
}

TEST(AppPage, IsUnderAMegabyte) { EXPECT_LT(app_files().script.size() + app_files().style.size(), 1'000'000U); }

TEST(AppPage, CannotBeBrokenByItsData) {
  const TemporaryFolder folder;
  write_app_page(folder.path() / "p.html", "<b>&\"", R"({"title":"</script><script>alert(1)</script><!--"})");
  const std::string page = read_text(folder.path() / "p.html");
  EXPECT_EQ(page.find("</script><script>alert"), std::string::npos);
  EXPECT_NE(page.find(R"(\u003c/script>\u003cscript>alert(1)\u003c/script>\u003c!--)"), std::string::npos);
  EXPECT_NE(page.find("<title>&lt;b&gt;&amp;"), std::string::npos);
}

TEST(AppPage, LetsNoOtherScriptRun) {
  const TemporaryFolder folder;
  write_app_page(folder.path() / "p.html", "t", "{}");
  const std::string page = read_text(folder.path() / "p.html");
  const size_t policy = page.find("Content-Security-Policy");
  ASSERT_NE(policy, std::string::npos);
  const std::string rule = page.substr(policy, page.find('>', policy) - policy);
  EXPECT_NE(rule.find("default-src 'none'"), std::string::npos);
  EXPECT_NE(rule.find("script-src '" + std::string(app_files().script_hash) + "'"), std::string::npos);
  EXPECT_EQ(rule.find("http"), std::string::npos) << rule;
}

}  // namespace
}  // namespace mien::report
