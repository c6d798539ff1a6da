#include "mien/core/options.h"

#include <stdexcept>

#include "core/expect_error.h"
#include <gtest/gtest.h>

#include "mien/core/toml.h"

namespace mien {
namespace {

/// One field of every kind.
struct SampleOptions {
  int64_t epochs = 50;
  double learning_rate = 0.002;
  bool resume = false;
  std::string optimizer = "adam";
  std::string note = "";
  std::vector<std::string> methods{"saliency", "lime"};

  void bind(OptionSet& options) {
    options.group("training");
    options.add(&epochs,
                {.name = "epochs", .help = "passes over the data", .unit = "epochs", .minimum = 1, .maximum = 1000});
    options.add(&learning_rate, {.name = "learning-rate", .help = "step size", .minimum = 0});
    options.add(&resume, {.name = "resume", .help = "go on where the run stopped"});
    options.add(&optimizer, {.name = "optimizer", .help = "rule of the step", .choices = {"adam", "sgd"}});
    options.group("explain");
    options.add(&methods, {.name = "methods", .help = "what to draw", .choices = {"saliency", "lime", "grad-cam"}});
    options.group("training");  // a second struct may add to a group that another has begun
    options.add(&note, {.name = "note", .help = "free text"});
  }
};

class Options : public testing::Test {
 protected:
  Options() { values_.bind(set_); }

  void set(const std::string& name, const std::string& text) {
    set_.set(name, text, Origin::command_line, "--" + name);
  }
  std::string error_of(const std::string& name, const std::string& text) {
    return error_line(ErrorCode::usage, [&] { set(name, text); });
  }

  SampleOptions values_;
  OptionSet set_;
};

TEST_F(Options, SetTheFieldsTheyWereBoundTo) {
  set("epochs", "3");
  set("learning-rate", "1e-3");
  set("resume", "true");
  set("optimizer", "sgd");
  set("methods", "grad-cam, lime");
  set("note", "größer, = \"besser\"");
  EXPECT_EQ(values_.epochs, 3);
  EXPECT_EQ(values_.learning_rate, 0.001);
  EXPECT_TRUE(values_.resume);
  EXPECT_EQ(values_.optimizer, "sgd");
  EXPECT_EQ(values_.methods, (std::vector<std::string>{"grad-cam", "lime"}));
  EXPECT_EQ(values_.note, "größer, = \"besser\"");
  set("methods", "");
  EXPECT_TRUE(values_.methods.empty());
}

TEST_F(Options, RememberWhereAValueCameFrom) {
  EXPECT_EQ(set_.find("epochs")->origin, Origin::default_value);
  set_.set("epochs", "7", Origin::recipe, "recipes/demo.toml:12");
  EXPECT_EQ(set_.find("epochs")->origin, Origin::recipe);
  EXPECT_EQ(set_.find("epochs")->origin_detail, "recipes/demo.toml:12");
  EXPECT_EQ(set_.find("epochs")->default_text, "50");
  EXPECT_EQ(set_.find("epochs")->text(), "7");
}

TEST_F(Options, AcceptTheEndsOfARangeAndNothingBeyond) {
  set("epochs", "1");
  set("epochs", "1000");
  EXPECT_EQ(error_of("epochs", "0"), "--epochs: epochs is '0', expected whole number, 1 to 1000, in epochs");
  EXPECT_TRUE(contains(error_of("epochs", "1001"), "is '1001'"));
  EXPECT_EQ(error_of("learning-rate", "-0.1"), "--learning-rate: learning-rate is '-0.1', expected number, at least 0");
  EXPECT_EQ(values_.epochs, 1000) << "a refused value must leave the old one";
  EXPECT_EQ(values_.learning_rate, 0.002);
}

TEST_F(Options, RefuseTextOfAnotherKind) {
  for (const char* text : {"", "3.5", "three", "3 ", "99999999999999999999"}) error_of("epochs", text);
  for (const char* text : {"", "nan", "inf", "fast", "1e999"}) error_of("learning-rate", text);
  for (const char* text : {"", "yes", "1", "True"}) {
    EXPECT_TRUE(contains(error_of("resume", text), "expected true or false"));
  }
  error_of("methods", "lime,,saliency");
  error_of("note", "Latin-1 \xfc");
  EXPECT_EQ(values_.epochs, 50);
  EXPECT_EQ(values_.methods, (std::vector<std::string>{"saliency", "lime"}));
}

TEST_F(Options, SuggestTheNearestChoice) {
  EXPECT_EQ(error_of("optimizer", "adan"),
            "--optimizer: optimizer is 'adan', expected one of: adam, sgd. hint: did you mean 'adam'?");
  EXPECT_EQ(
      error_of("methods", "lime,gradcam"),
      "--methods: methods is 'gradcam', expected a list of: saliency, lime, grad-cam. hint: did you mean 'grad-cam'?");
}

TEST_F(Options, SuggestTheNearestName) {
  EXPECT_EQ(error_of("epoch", "3"), "--epoch: unknown option 'epoch'. hint: did you mean 'epochs'?");
}

TEST_F(Options, CannotBeDeclaredTwice) {
  EXPECT_THROW(set_.add(&values_.epochs, {.name = "epochs", .help = "again"}), std::logic_error);
}

TEST_F(Options, ComeBackFromTheirTomlUnchanged) {
  set("learning-rate", "0.1");
  set("epochs", "3");
  set("methods", "");
  set("note", "\"quoted\" \\ tab\t\x7f line\nend # not a comment");
  const std::string toml = set_.to_toml();

  SampleOptions values;
  OptionSet back;
  values.bind(back);
  set_from_toml(back, toml, "args.toml", Origin::config_file);
  EXPECT_EQ(values.epochs, values_.epochs);
  EXPECT_EQ(values.learning_rate, values_.learning_rate);
  EXPECT_EQ(values.optimizer, values_.optimizer);
  EXPECT_EQ(values.methods, values_.methods);
  EXPECT_EQ(values.note, values_.note);
}

TEST_F(Options, TomlSaysWhereANonDefaultCameFrom) {
  set_.set("epochs", "3", Origin::recipe, "recipes/demo.toml:12");
  const std::string toml = set_.to_toml();
  EXPECT_TRUE(contains(toml, "\nepochs = 3  # recipe: recipes/demo.toml:12 (default 50)\n"));
  EXPECT_TRUE(contains(toml, "\nlearning-rate = 0.002\n")) << "a default needs no comment";
  EXPECT_TRUE(contains(toml, "\nmethods = [\"saliency\", \"lime\"]\n"));
}

TEST_F(Options, TomlNamesEachTableOnce) {
  const std::string toml = set_.to_toml();
  const size_t first = toml.find("[training]");
  ASSERT_NE(first, std::string::npos);
  EXPECT_EQ(toml.find("[training]", first + 1), std::string::npos);
}

TEST_F(Options, WholeNumbersOfARealOptionStayRealInToml) {
  set("learning-rate", "2");
  EXPECT_EQ(set_.find("learning-rate")->toml(), "2.0");
  set("learning-rate", "1e30");
  EXPECT_EQ(set_.find("learning-rate")->toml(), "1e+30");
}

}  // namespace
}  // namespace mien
