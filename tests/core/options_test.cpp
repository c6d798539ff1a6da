#include "mien/core/options.h"

#include <algorithm>
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

/// Options with all that a declaration may say.
struct LinkedOptions {
  std::string optimizer = "adam";
  double momentum = 0.9;
  bool near_copies = true;
  double correlation = 0.99;
  std::string validation = "fraction:0.1";
  bool stratified = true;
  std::vector<std::string> methods{"saliency"};
  int64_t samples = 10;
  double minutes = 0;
  void bind(OptionSet& set) {
    set.group("optimizer", "update");
    set.add(&optimizer, {.name = "opt", .help = "", .choices = {"adam", "sgd", "rmsprop"}});
    set.add(&momentum, {.name = "momentum", .help = "", .only_with = {{"opt", "sgd,rmsprop"}}});
    set.add(&near_copies, {.name = "near-copies", .help = ""});
    set.add(&correlation, {.name = "near-correlation", .help = "", .only_with = {{"near-copies", "true"}}});
    set.add(&validation, {.name = "validation", .help = ""});
    set.add(&stratified, {.name = "stratified", .help = "", .only_with = {{"validation", "fraction:*,kfold:*"}}});
    set.add(&methods, {.name = "method", .help = ""});
    set.add(&samples, {.name = "samples", .help = "", .only_with = {{"method", "lime,shap"}}});
    set.add(&minutes, {.name = "max-time", .help = "", .aliases = {"time"}, .only_with = {{"absent", "1"}}});
  }
};

class LinkedOptionsTest : public testing::Test {
 protected:
  LinkedOptionsTest() { values_.bind(set_); }
  void set(const char* name, const char* text, Origin origin = Origin::command_line) {
    set_.set(name, text, origin, "--" + std::string(name));
  }
  std::vector<std::string> unused(Origin origin = Origin::command_line) const {
    std::vector<std::string> reasons;
    for (const auto& unused : set_.unused(origin)) reasons.push_back(unused.reason);
    return reasons;
  }
  LinkedOptions values_;
  OptionSet set_;
};

using Texts = std::vector<std::string>;

TEST_F(LinkedOptionsTest, WhatHasNoEffectBesideTheOthersIsFoundWhateverTheOrder) {
  set("momentum", "0.9");
  EXPECT_EQ(unused(), Texts{"--momentum has no effect with --opt adam"});
  set("opt", "sgd");
  EXPECT_EQ(unused(), Texts{});
  set("near-correlation", "0.95");
  set("near-copies", "false");
  EXPECT_EQ(unused(), Texts{"--near-correlation has no effect without --near-copies"});
}

TEST_F(LinkedOptionsTest, ConditionsTakeBeginningsAndItemsOfLists) {
  set("stratified", "false");
  set("validation", "kfold:5:0");
  set("samples", "20");
  set("method", "saliency,lime");
  EXPECT_EQ(unused(), Texts{});
  set("validation", "last:40");
  set("method", "saliency");
  EXPECT_EQ(unused(),
            (Texts{"--stratified has no effect with --validation last:40",
                   "--samples has no effect with --method saliency"}));
  EXPECT_EQ(set_.unused(Origin::command_line)[0].hint,
            "it is used only with --validation fraction:... or kfold:...; set that, or leave --stratified out");
}

TEST_F(LinkedOptionsTest, AFileMayListAllOptionsAsTheyAre) {
  set("momentum", "0.9", Origin::config_file);
  EXPECT_EQ(unused(Origin::config_file), Texts{});
  set("momentum", "0.8", Origin::config_file);
  EXPECT_EQ(unused(Origin::config_file).size(), 1U);
}

TEST_F(LinkedOptionsTest, AConditionOnAnOptionThatTheSetLacksHolds) {
  set("max-time", "3");
  EXPECT_EQ(unused(), Texts{});
}

TEST_F(LinkedOptionsTest, OldNamesOfOptionsAndTablesAreAcceptedAndNotShown) {
  set_from_toml(set_, "[update]\nmomentum = 0.5\ntime = 2.0\n", "old.toml", Origin::config_file);
  EXPECT_EQ(values_.momentum, 0.5);
  EXPECT_EQ(values_.minutes, 2);
  const std::string toml = set_.to_toml();
  EXPECT_TRUE(contains(toml, "[optimizer]"));
  EXPECT_FALSE(contains(toml, "[update]"));
  EXPECT_FALSE(contains(toml, "\ntime"));
  const auto names = set_.names();
  EXPECT_EQ(std::count(names.begin(), names.end(), "time"), 0);
}

TEST_F(LinkedOptionsTest, ARemovedOptionIsUnknownAndTheOthersStay) {
  set_.remove("near-copies");
  set_.remove("never-there");
  EXPECT_EQ(set_.find("near-copies"), nullptr);
  set("time", "7");
  EXPECT_EQ(values_.minutes, 7);
  EXPECT_EQ(set_.find("opt")->text(), "adam");
}

TEST_F(LinkedOptionsTest, AnAliasThatIsTakenIsAMistakeOfTheProgram) {
  double other = 0;
  EXPECT_THROW(set_.add(&other, {.name = "time", .help = ""}), std::logic_error);
}

}  // namespace
}  // namespace mien
